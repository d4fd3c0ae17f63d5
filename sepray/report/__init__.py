"""The HTML report of a study and its figures, drawn from the study's own stores."""
