"""Callreel: call recordings taken in with Twilio's own API and delivered, with proof, into the customer's bucket."""

__version__ = "0.1.0"
