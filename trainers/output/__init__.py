"""The output directory as a place: who may write there, what is whole in it, and what a full disk does."""
