"""What patients are made of: models in closed form, and the kinds of data they are seen through."""
