"""The HTTP doors: Twilio's surfaces and callreel's own."""
