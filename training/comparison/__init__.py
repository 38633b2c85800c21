"""One factor at a time: rows of a comparison are a recipe with changes, trained with several seeds and measured."""
