"""Everything that draws: report pages, plots, contact sheets."""
