"""Events -> conversations, participations and what each participant could see. Pure: no world, no clock."""
