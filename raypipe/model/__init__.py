"""The nouns of planning: frozen values without behaviour beyond their own arithmetic."""
