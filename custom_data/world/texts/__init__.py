"""Write every text of the world: stories, plans, what the student believes, what the teacher's examples say."""
