"""Documents: what of a file is text, how it is translated, and the file put together again.

A format says where the texts of a document lie (`Slot`s); the road (road.py) takes them through a
translator; everything else of the file comes out byte for byte as it went in. Not its job:
decoding, languages, HTTP.
"""
