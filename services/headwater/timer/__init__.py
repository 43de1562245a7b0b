"""The timer: fires schedules, relays what commits owe, and looks after runs that nobody moves."""
