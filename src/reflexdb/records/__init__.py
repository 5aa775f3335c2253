"""What the control plane remembers: tables, migrations, queries; and the secrets, encrypted, apart from them."""
