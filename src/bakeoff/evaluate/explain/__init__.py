"""Why a candidate answers as it does."""
