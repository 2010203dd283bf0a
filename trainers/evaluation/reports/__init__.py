"""Write an evaluation's results as tables, plots and a page of lessons."""
