"""The main job on this machine: real servers, rotating certificates, a TLS app as main container."""
