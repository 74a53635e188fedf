"""Wire formats: what each provider says and hears, as pure codecs."""
