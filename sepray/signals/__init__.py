"""Signal processing that needs no training: transforms, resampling, ideal masks, recordings of every file type."""
