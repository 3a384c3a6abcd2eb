"""What fills the terminal: main, home, menus, help, errors."""
