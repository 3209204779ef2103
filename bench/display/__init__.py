"""What tables, plots and pages share: numbers and names as text, captions, the style of figures, image grids."""
