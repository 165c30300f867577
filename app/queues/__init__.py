"""What brings items to run_job."""
