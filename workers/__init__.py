"""The Celery application; its tasks call ingestion.run_job."""
