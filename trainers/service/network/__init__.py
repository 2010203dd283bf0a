"""Between the service and its network: connections, pages that may call, and what is logged of clients' mistakes."""
