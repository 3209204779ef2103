"""What is due, and getting it done: plan, driver, worker, no-op check, executors."""
