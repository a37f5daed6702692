"""What people look at: pictures, tables and text."""
