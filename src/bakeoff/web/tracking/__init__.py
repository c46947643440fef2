"""MLflow's REST protocol over the project's own records: requests are read, records asked, answers written."""
