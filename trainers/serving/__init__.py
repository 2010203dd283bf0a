"""Model servers: starting and watching them (`servers`), talking to them (`endpoints`), giving them new weights
(`weight_sync`). Knows HTTP, processes and vLLM, and nothing of what teacher and student say to each other."""
