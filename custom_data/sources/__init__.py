"""Open local files, directories and hub datasets as rows that know their place."""
