"""Pages and tables: reads results, writes Markdown, HTML, CSV, LaTeX and JSON."""
