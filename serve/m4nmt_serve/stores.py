"""What outlives a request: keys with their accounts, glossaries, suggestions.

Not its job: any of them by itself.
"""

from pathlib import Path

from m4nmt_serve import glossaries, suggestions, usage
from m4nmt_serve.database import IN_MEMORY, Database
from m4nmt_serve.glossaries import Glossaries
from m4nmt_serve.keys import Keys
from m4nmt_serve.settings import ServeConfig
from m4nmt_serve.suggestions import Suggestions
from m4nmt_serve.usage import Usage


class Stores:
    """All of them, over one database.

    Attributes:
        keys: None where the service is open.

    Raises:
        DatabaseError: the database cannot be used.
        ConfigError: the file of keys cannot be read.
    """

    def __init__(self, config: ServeConfig) -> None:
        self._database = Database(
            config.database or IN_MEMORY, usage.SCHEMA, glossaries.SCHEMA, suggestions.SCHEMA
        )
        self.usage = Usage(self._database)
        self.glossaries = Glossaries(self._database)
        self.suggestions = Suggestions(self._database)
        self.keys = Keys(Path(config.keys), self.usage) if config.keys else None

    def close(self) -> None:
        """No more use."""
        self._database.close()
