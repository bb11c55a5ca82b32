"""The door for jobs: one job, one step."""
