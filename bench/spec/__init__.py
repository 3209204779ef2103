"""The question of an ablation: its YAML file, the variants that follow from it, recipes, the grammar of claims."""
