"""Tasks beside translation: noise on lines without a partner."""
