"""How people and programs are told: signed callbacks, mails, chat webhooks, events."""
