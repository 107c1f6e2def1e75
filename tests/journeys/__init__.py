"""What people and shops live through, told by signed webhooks to the running program."""
