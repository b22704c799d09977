"""What each project calls its weights, and how it lays them out."""
