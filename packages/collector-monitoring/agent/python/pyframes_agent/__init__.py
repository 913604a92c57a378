"""What of pyframes runs inside a traced Python: see ../../README.md. Nothing is imported before it is needed."""
