"""The report of a study: an HTML page with figures and sounds, made from the study's own stores."""
