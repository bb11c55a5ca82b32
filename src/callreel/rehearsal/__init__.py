"""Stand-ins we ship, so that anyone can rehearse: an embedded S3, speech-like sound."""
