"""The source shelf: a Twilio account, read and tidied over its own API."""
