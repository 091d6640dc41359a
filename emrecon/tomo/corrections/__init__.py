"""What makes counts quantitative: attenuation, normalisation, randoms, scatter."""
