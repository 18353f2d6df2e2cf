"""The dream loop: what invents training scenarios, and the difficulty that is read off them before anybody answers."""
