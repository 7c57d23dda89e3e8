"""The built-in notifiers; each tells the main container in one way."""
