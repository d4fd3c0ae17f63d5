"""Results of studies: findings, tables, locations, disk use; trainings that are repeated; deletion."""
