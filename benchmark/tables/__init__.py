"""Tables: from finished cells to tables, ranks and statistical tests."""
