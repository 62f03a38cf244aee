"""Where frames come from: capture files and pipes."""
