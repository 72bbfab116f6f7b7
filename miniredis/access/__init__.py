"""Who is who and who may what: users, their passwords and, with ACL, their rights."""
