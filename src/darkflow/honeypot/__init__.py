"""What answers in the honeypot's namespace, and the record of what was said."""
