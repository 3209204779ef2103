"""What is asked: ablation files, their expansion into variants, recipes, the grammar of claims."""
