"""Keys: sealing secrets at rest, checking public keys, encrypting recordings in Twilio's format."""
