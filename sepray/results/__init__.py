"""What a study found, where it is, how much disk it uses; deletes studies and what nobody needs of them."""
