"""The supabase family: a project, as PostgreSQL or over its REST interface."""
