"""The resolver of every VPC: private names from the database, all others from the operator's resolvers."""
