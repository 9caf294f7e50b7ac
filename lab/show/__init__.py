"""What people see: the tables, the picture, the live screen, the status. Reads records, decides nothing."""
