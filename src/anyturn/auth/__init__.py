"""Identity and access: client keys, who a caller is, and what web pages may do."""
